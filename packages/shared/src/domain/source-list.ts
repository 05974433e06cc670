/** Source networks that may reach a service through the edges. Null: everybody. */
import { z } from "zod";
import { formatCidr, parseCidr } from "./cidr.ts";

export const MOST_SOURCES = 100;

/** Lengths of the networks, in bits: the edges look for each of them. */
export const SOURCE_BITS = { shortest: 8, longest: 32 };

/** A network, or one address; as it is kept: `203.0.113.7` is `203.0.113.7/32`. */
export const SourceCidr = z
  .string()
  .max(18)
  .transform((text, context) => {
    const cidr = parseCidr(text.includes("/") ? text : `${text}/32`);
    if (cidr !== null && cidr.bits >= SOURCE_BITS.shortest) return formatCidr(cidr);
    context.addIssue({
      code: "custom",
      message: "must be a network such as 203.0.113.0/24, of /8 at the most, or an address",
    });
    return z.NEVER;
  });

export const SourceList = z
  .array(SourceCidr)
  .min(1)
  .max(MOST_SOURCES)
  .transform((cidrs) => [...new Set(cidrs)].sort());
