/** Maps what went wrong to the error catalogue. Only a catalogued message reaches the caller; the rest is logged. */
import type { ErrorBody, ErrorCode } from "@berth/shared/contracts/errors.ts";
import { BerthError, ERRORS } from "@berth/shared/contracts/errors.ts";
import { isTransient } from "@berth/shared/kit/database.ts";
import { hasZodFastifySchemaValidationErrors } from "fastify-type-provider-zod";
import type { z } from "zod";

export interface HttpFailure {
  readonly status: number;
  readonly body: ErrorBody;
  /** True when the operator must see the error itself. */
  readonly log: boolean;
}

export function toFailure(error: unknown, requestId: string): HttpFailure {
  const { code, message, log } = classify(error);
  const { status, next } = ERRORS[code];
  return { status, body: { code, message, next, requestId }, log };
}

function classify(error: unknown): { code: ErrorCode; message: string; log: boolean } {
  if (error instanceof BerthError) {
    return { code: error.code, message: error.message, log: error.entry.status >= 500 };
  }
  if (hasZodFastifySchemaValidationErrors(error)) {
    return {
      code: "invalid-input",
      message: error.validation.map(describeIssue).join("; ").slice(0, 1000),
      log: false,
    };
  }
  if (isTransient(error)) return { code: "unavailable", message: "the database does not answer", log: true };
  const given = (error ?? {}) as { statusCode?: unknown; code?: unknown; message?: unknown };
  if (given.statusCode === 413)
    return { code: "payload-too-large", message: "the request's body is over the limit", log: false };
  if (typeof given.statusCode === "number" && given.statusCode >= 400 && given.statusCode < 500) {
    return { code: "invalid-input", message: String(given.message), log: false };
  }
  // A part of the pod whose tables are not there yet: it is being installed.
  if (given.code === "42P01" || given.code === "3F000" || given.code === "42501") {
    return { code: "unavailable", message: "a part of the pod is not installed yet", log: true };
  }
  return { code: "internal", message: "Berth failed in a way it does not know", log: true };
}

function describeIssue(entry: { instancePath?: string; message?: string; params?: unknown }): string {
  const issue = (entry.params ?? {}) as { issue?: z.core.$ZodIssue };
  const field = (entry.instancePath ?? "").replace(/^\//, "").replaceAll("/", ".");
  const text = entry.message ?? issue.issue?.message ?? "is wrong";
  return field === "" ? text : `${field}: ${text}`;
}

/** Name the field first, then what is wrong with it. */
export function invalid(field: string, problem: string): BerthError {
  return new BerthError("invalid-input", `${field}: ${problem}`);
}

export function notFound(what: string): BerthError {
  return new BerthError("not-found", `there is no ${what} that you can see`);
}
