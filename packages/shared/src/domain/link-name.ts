/** By which name an environment's containers reach a linked service: whose it is, spelled out. */
export const LINK_ZONE = "link.internal";

export function linkHostname(link: {
  readonly service: string;
  readonly environment: string;
  readonly org: string;
}): string {
  return `${link.service}.${link.environment}.${link.org}.${LINK_ZONE}`;
}
