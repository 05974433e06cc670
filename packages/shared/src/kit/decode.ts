/** What comes over the bus, as bytes: JSON that must be of a schema. */
import type { z } from "zod";

const decoder = new TextDecoder();

/** Parses bytes as JSON and by the schema. */
export function decode(
  schema: z.ZodType,
  data: Uint8Array,
): { ok: true; value: unknown } | { ok: false; reason: string } {
  try {
    const parsed = schema.safeParse(JSON.parse(decoder.decode(data)));
    if (parsed.success) return { ok: true, value: parsed.data };
    return {
      ok: false,
      reason: parsed.error.issues
        .map((issue) => `${issue.path.join(".")}: ${issue.message}`)
        .join("; ")
        .slice(0, 500),
    };
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error) };
  }
}
