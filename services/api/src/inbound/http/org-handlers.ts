/** Who am I, orgs, environments. */
import { BerthError } from "@berth/shared/contracts/errors.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { audited } from "../../outbound/audited.ts";
import { mustBePod } from "../../outbound/pod-store.ts";
import { readEnvironments, readOrgs } from "../../outbound/service-store.ts";
import type { Db } from "../../outbound/tables.ts";
import { violatedConstraint } from "../../outbound/tables.ts";
import type { Handlers } from "./handler.ts";

type OrgHandlers = Pick<
  Handlers,
  "getWhoAmI" | "listOrgs" | "createOrg" | "listEnvironments" | "createEnvironment"
>;

export function orgHandlers({ db }: { db: Db }): OrgHandlers {
  return {
    getWhoAmI: async ({ caller }) => ({
      userId: caller.userId,
      email: caller.email,
      isOperator: caller.isOperator,
      tokenName: caller.tokenName,
      tokenExpiresAt: caller.tokenExpiresAt?.toISOString() ?? null,
      orgs: (await readOrgs(db, caller.userId)).map(({ name, role }) => ({ name, role })),
    }),

    listOrgs: async ({ caller }) => ({ orgs: await readOrgs(db, caller.userId) }),

    createOrg: async ({ caller, body, actor }) => {
      const org = { id: newId("org"), name: body.name };
      const createdAt = new Date();
      await nameTaken("org", body.name, () =>
        audited(db, actor, async (trx) => {
          await trx
            .insertInto("orgs")
            .values({ ...org, created_at: createdAt })
            .execute();
          await trx
            .insertInto("members")
            .values({ org_id: org.id, user_id: caller.userId, role: "owner" })
            .execute();
          return {
            result: null,
            act: { action: "org.created", target: org.id, orgId: org.id, details: { name: org.name } },
          };
        }),
      );
      return { ...org, role: "owner", createdAt: createdAt.toISOString() };
    },

    listEnvironments: async ({ caller }) => ({ environments: await readEnvironments(db, caller.userId) }),

    createEnvironment: async ({ object, body, actor }) => {
      const id = newId("environment");
      const createdAt = new Date();
      await nameTaken("environment", `${object.org}/${body.name}`, () =>
        audited(db, actor, async (trx) => {
          await mustBePod(trx, body.pod);
          await trx
            .insertInto("environments")
            .values({ id, org_id: object.orgId, name: body.name, pod: body.pod, created_at: createdAt })
            .execute();
          return {
            result: null,
            act: {
              action: "environment.created",
              target: id,
              orgId: object.orgId,
              details: body,
            },
          };
        }),
      );
      return { id, org: object.org, ...body, servicesCount: 0, createdAt: createdAt.toISOString() };
    },
  };
}

/** Turns a unique violation into `name-taken`. */
async function nameTaken<T>(what: string, name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (violatedConstraint(error) === null) throw error;
    throw new BerthError("name-taken", `there is already an ${what} named ${name}`, { cause: error });
  }
}
