/** Names of linked services of other environments: `SERVICE.ENVIRONMENT.ORG.link.internal`, ready instances only. */
import type { NetworkLink } from "@berth/shared/contracts/network.ts";
import { LINK_ZONE } from "@berth/shared/domain/link-name.ts";

/** Lines of a hosts file, in a canonical order; a service with two linked ports has its name once. */
export function linkHostsText(links: readonly NetworkLink[]): string {
  const lines = links.flatMap(({ name, instances }) =>
    instances.filter(({ ready }) => ready).map(({ address }) => `${address} ${name}.${LINK_ZONE}\n`),
  );
  return [...new Set(lines)].sort().join("");
}
