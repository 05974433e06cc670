/** Deploys that no push makes, and what surrounds a deploy. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { App, Customer } from "./customer.ts";
import type { E2eLab } from "./e2e-lab.ts";
import { getUntil } from "./edge.ts";
import { dockerfileApp } from "./small-apps.ts";

interface Given {
  readonly lab: () => E2eLab;
  readonly customer: () => Customer;
}

export function describeDeploys({ lab, customer }: Given): void {
  describe("ready images", () => {
    test("pushed with a token for that one repository, an image is deployed without a build", async () => {
      const { docker } = lab().engine;
      const app = await customer().app("ready", dockerfileApp);
      const minted = JSON.parse(await customer().berth(["registry", "login", "ready", "--json"])) as {
        registry: string;
        repository: string;
      };
      const image = `${minted.registry}/${minted.repository}:v1`;
      await makeImage(docker, app, image);
      const config = join(customer().home, "docker");
      await customer().berth(["registry", "login", "ready", "--docker-config", config]);
      await docker("--config", config, "push", image);
      const other = `${minted.registry}/${minted.repository}x:v1`;
      await docker("tag", image, other);
      await expect(docker("--config", config, "push", other)).rejects.toThrow(/denied|unauthorized/);
      await docker("rmi", image, other);

      const deployed = await customer().tryBerth(["deploy", "ready", ":v1"]).ended;
      console.log(`=== a ready image\n${deployed.output}`);
      expect(deployed.code, deployed.output).toBe(0);
      await getUntil(lab().lab.host("h2").address, app.service.url, ({ body }) =>
        body.includes('"release":"v1"'),
      );
      expect(await customer().berth(["releases", "list", "ready"])).toContain(`image ${image}`);

      const wrong = await customer().tryBerth(["deploy", "ready", ":v2"]).ended;
      console.log(`=== an image that is not there\n${wrong.output}`);
      expect(wrong.code).toBe(1);
      expect(wrong.output).toMatch(/image-not-fetched.*there is no/);
      await customer().berth(["services", "rm", "ready", "--yes"]);
    });
  });
}

/** The same small app as everywhere, made beside Berth. */
async function makeImage(docker: E2eLab["engine"]["docker"], app: App, image: string): Promise<void> {
  const id = (await docker("create", "berth/stack:bookworm", "true")).trim();
  await docker("cp", join(app.dir, "server.js"), `${id}:/srv/server.js`);
  const changes = ['CMD ["node", "/srv/server.js"]', "EXPOSE 4000"].flatMap((change) => ["--change", change]);
  await docker("commit", ...changes, id, image);
  await docker("rm", id);
}
