/** Tells that something in a folder changed: a hint, by inotify. A process has one instance of it for all its folders. */
import { type FSWatcher, watch } from "node:fs";

export class FolderWatch {
  #watcher: FSWatcher | null = null;

  /** @param onChange called at any rate; it only notes that there is something to look at */
  constructor(folder: string, onChange: () => void) {
    try {
      const watcher = watch(folder, { persistent: false }, onChange);
      watcher.on("error", () => this.close());
      this.#watcher = watcher;
    } catch {
      // The kernel's limit, or the folder is gone: whoever uses this looks by itself now and then.
    }
  }

  get isWatching(): boolean {
    return this.#watcher !== null;
  }

  close(): void {
    this.#watcher?.close();
    this.#watcher = null;
  }
}
