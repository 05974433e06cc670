/** Redirects that lead back to where they began. */

interface Redirect {
  /** A path, all below one (`/old/*`), or a host name. */
  readonly from: string;
  readonly to: string;
}

/** @returns the index of a redirect from which a client comes back to it, or null */
export function findRedirectLoop(redirects: readonly Redirect[]): number | null {
  const found = redirects.findIndex((first) => {
    let at: Redirect | undefined = first;
    for (let hops = 0; at !== undefined && hops <= redirects.length; hops++) {
      const next: Redirect | undefined = follow(at, redirects);
      if (next === first) return true;
      at = next;
    }
    return false;
  });
  return found < 0 ? null : found;
}

/** Which redirect meets the client next; what leaves for an address with another path is not followed. */
function follow({ from, to }: Redirect, redirects: readonly Redirect[]): Redirect | undefined {
  if (!from.startsWith("/")) {
    const host = new URL(to).hostname;
    return redirects.find((one) => one.from === host);
  }
  if (!to.startsWith("/")) return undefined;
  const path = to.replace(/[?#].*$/, "");
  return redirects.find((one) => one.from === path) ?? longestAbove(path, redirects);
}

function longestAbove(path: string, redirects: readonly Redirect[]): Redirect | undefined {
  return redirects
    .filter(({ from }) => from.startsWith("/") && from.endsWith("/*") && path.startsWith(from.slice(0, -1)))
    .toSorted((a, b) => b.from.length - a.from.length)[0];
}
