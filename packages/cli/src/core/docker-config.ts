/** Docker's `config.json`: how a token for one registry gets into it, everything else untouched. */
import { z } from "zod";

const Config = z.looseObject({
  auths: z.record(z.string(), z.looseObject({})).optional(),
  credsStore: z.string().optional(),
  credHelpers: z.record(z.string(), z.string()).optional(),
});

export type Changed =
  | { readonly kind: "changed"; readonly text: string }
  | { readonly kind: "refused"; readonly reason: string };

/**
 * Docker presents a `registrytoken` as it is. A credential store has no place for one, and the file's entries are not
 * read beside it.
 * @param text the file; null when there is none
 */
export function addRegistryToken(text: string | null, registry: string, token: string): Changed {
  const parsed = Config.safeParse(parseJson(text ?? "{}"));
  if (!parsed.success) return { kind: "refused", reason: "it is not a configuration of Docker" };
  const { credsStore, credHelpers, auths, ...rest } = parsed.data;
  const store = credHelpers?.[registry] ?? credsStore;
  if (store !== undefined && store !== "")
    return {
      kind: "refused",
      reason: `it keeps credentials in ${JSON.stringify(store)}, which takes no tokens`,
    };
  const changed = {
    ...rest,
    ...(credsStore === undefined ? {} : { credsStore }),
    ...(credHelpers === undefined ? {} : { credHelpers }),
    auths: { ...auths, [registry]: { registrytoken: token } },
  };
  return { kind: "changed", text: `${JSON.stringify(changed, null, "\t")}\n` };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
