/** Mounts of the host that come later are not seen in it. */
export function bindMount(source: string, target: string, { readOnly }: { readonly readOnly: boolean }) {
  return {
    Type: "bind" as const,
    Source: source,
    Target: target,
    ReadOnly: readOnly,
    BindOptions: { Propagation: "rprivate" as const },
  };
}
