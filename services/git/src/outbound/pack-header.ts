/** The number of objects of a push, from the header of the pack in its quarantine folder. */
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";

const HEADER_BYTES = 12;

/** @returns 0 when the push brought no pack */
export async function countPackedObjects(quarantineDir: string): Promise<number> {
  const folder = join(quarantineDir, "pack");
  const names = await readdir(folder).catch(() => []);
  let count = 0;
  for (const name of names) if (name.endsWith(".pack")) count += await readCount(join(folder, name));
  return count;
}

async function readCount(path: string): Promise<number> {
  const file = await open(path, "r");
  try {
    const header = Buffer.alloc(HEADER_BYTES);
    await file.read(header, 0, HEADER_BYTES, 0);
    return header.readUInt32BE(8);
  } finally {
    await file.close();
  }
}
