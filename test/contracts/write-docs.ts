/** Writes the documents that are made from the contracts. */
import { writeFileSync } from "node:fs";
import { renderErrors, renderEvents } from "./render-docs.ts";

const docs = new URL("../../docs/", import.meta.url);
writeFileSync(new URL("EVENTS.md", docs), renderEvents());
writeFileSync(new URL("ERRORS.md", docs), renderErrors());
