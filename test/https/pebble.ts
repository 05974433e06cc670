/** Let's Encrypt's test authority, Pebble, as Debian packs it: it asks the tests' name server and the edge's own port. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestAuthority } from "@berth/shared/testing/certificates.ts";
import { freePort } from "@berth/shared/testing/free-port.ts";

export interface Pebble {
  readonly directory: string;
  /** Where its root is, made anew at each start: PEM, over HTTPS that the given authority vouches for. */
  readonly rootUrl: string;
  close(): Promise<void>;
}

export async function startPebble(given: {
  /** For its files. */
  readonly dir: string;
  /** Vouches for its own HTTPS. */
  readonly authority: TestAuthority;
  /** Where it asks for challenges. */
  readonly httpPort: number;
  readonly dnsServer: string;
}): Promise<Pebble> {
  const { dir, authority, httpPort, dnsServer } = given;
  const [port, management] = [await freePort(), await freePort()];
  const own = await authority.leaf({ names: ["localhost"] });
  const files = { certificate: join(dir, "pebble.crt"), privateKey: join(dir, "pebble.key") };
  writeFileSync(files.certificate, `${own.certificate}\n${authority.intermediate}\n`);
  writeFileSync(files.privateKey, own.key);
  const config = join(dir, "pebble.json");
  const pebble = {
    ...{ listenAddress: `127.0.0.1:${port}`, managementListenAddress: `127.0.0.1:${management}` },
    ...{ ...files, httpPort, tlsPort: 1, ocspResponderURL: "", externalAccountBindingRequired: false },
  };
  writeFileSync(config, JSON.stringify({ pebble }));
  const child = spawn("pebble", ["-config", config, "-dnsserver", dnsServer, "-strict"], {
    env: { PATH: process.env.PATH ?? "", PEBBLE_VA_NOSLEEP: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const started = new Promise<void>((resolve, reject) => {
    const look = (chunk: Buffer) => chunk.toString().includes("ACME directory available") && resolve();
    child.stdout.on("data", look);
    child.stderr.on("data", look);
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`pebble ended with ${code}`)));
  });
  await started;
  return {
    directory: `https://localhost:${port}/dir`,
    rootUrl: `https://localhost:${management}/roots/0`,
    close: async () => {
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      await ended;
    },
  };
}
