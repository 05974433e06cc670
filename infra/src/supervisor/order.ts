/**
 * Start order of processes: dependencies first. Pure.
 */
export type HasDependencies = { readonly name: string; readonly dependsOn: readonly string[] };

/**
 * @returns the same items, each after everything it depends on; the given order decides between equals.
 * @throws Error that prints the circle when there is one.
 */
export function inStartOrder<T extends HasDependencies>(items: readonly T[]): readonly T[] {
  const byName = new Map(items.map((item) => [item.name, item]));
  const done = new Set<string>();
  const ordered: T[] = [];
  const visit = (item: T, path: readonly string[]): void => {
    if (done.has(item.name)) return;
    if (path.includes(item.name))
      throw new Error(`processes depend on each other in a circle: ${[...path, item.name].join(" -> ")}`);
    for (const name of item.dependsOn) {
      const needed = byName.get(name);
      if (needed !== undefined) visit(needed, [...path, item.name]);
    }
    done.add(item.name);
    ordered.push(item);
  };
  for (const item of items) visit(item, []);
  return ordered;
}

/** Names of the items that need `name` directly. They are stopped before it. */
export function dependantsOf(items: readonly HasDependencies[], name: string): readonly string[] {
  return items.filter((item) => item.dependsOn.includes(name)).map((item) => item.name);
}
