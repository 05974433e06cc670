/**
 * The error catalogue: every operational error that a person or a program can see, with what to do.
 * `docs/ERRORS.md` is written from it and checked against it.
 *
 * An error knows no transport: the edge maps `status` to HTTP, and `retry` to ack / nak / term.
 */
import { z } from "zod";

export interface ErrorEntry {
  readonly status: number;
  /** `never`: the same input fails again. `later`: it may pass by itself. */
  readonly retry: "never" | "later";
  readonly who: "customer" | "operator";
  readonly meaning: string;
  readonly next: string;
}

const customer = (status: number, meaning: string, next: string): ErrorEntry => ({
  status,
  retry: "never",
  who: "customer",
  meaning,
  next,
});
const operator = (status: number, meaning: string, next: string): ErrorEntry => ({
  status,
  retry: "later",
  who: "operator",
  meaning,
  next,
});

export const ERRORS = {
  // Requests
  "invalid-input": customer(
    400,
    "A field of the request is wrong.",
    "Correct the field that the message names.",
  ),
  unauthenticated: customer(
    401,
    "There is no token, or it is unknown, expired or revoked.",
    "Run `berth login` with a valid token.",
  ),
  forbidden: customer(403, "The token's role does not allow this.", "Ask an owner of the org for the role."),
  "not-found": customer(
    404,
    "There is nothing of that name that you can see.",
    "List what exists, for example with `berth services list`.",
  ),
  "ambiguous-name": customer(
    409,
    "More than one thing has that name.",
    "Name the environment as ORG/ENVIRONMENT.",
  ),
  "name-taken": customer(409, "That name is in use.", "Choose another name."),
  conflict: customer(
    409,
    "The thing is not in a state that allows this.",
    "Look at its state and try again.",
  ),
  "payload-too-large": customer(413, "The request's body is over the limit.", "Send less at once."),
  "too-many-requests": {
    ...customer(429, "Too many requests at once.", "Wait a moment and try again."),
    retry: "later",
  },
  "limit-reached": customer(
    409,
    "A quota of the org, environment or service is used up.",
    "Remove something, or ask the operator for a higher quota.",
  ),
  internal: operator(
    500,
    "Berth failed in a way it does not know.",
    "Look at the service's log with the request id.",
  ),
  unavailable: {
    ...operator(
      503,
      "A part that this needs does not answer.",
      "Look at `berth status`; try again in a moment.",
    ),
    who: "operator",
  },
  // Pushes
  "push-empty": customer(400, "The push has no commit.", "Commit something, then push again."),
  "push-ref-name": customer(
    400,
    "The name of the ref is not allowed.",
    "Use branch names of letters, digits, '.', '_', '/' and '-', not starting with '-'.",
  ),
  "push-too-many-refs": customer(
    400,
    "The push changes too many refs at once.",
    "Push fewer branches and tags at once.",
  ),
  "push-pack-size": customer(
    413,
    "The pack is larger than the limit.",
    "Remove large files from the history; use object storage for data.",
  ),
  "push-too-many-objects": customer(
    413,
    "The push has too many objects.",
    "Push a smaller history, for example a shallow or squashed one.",
  ),
  "push-tree-entries": customer(
    413,
    "The commit's tree has too many entries.",
    "Remove generated files (node_modules, build output) from the repository.",
  ),
  "push-tree-depth": customer(413, "The commit's folders are nested too deep.", "Flatten the folders."),
  "push-path-length": customer(
    400,
    "A path in the commit is longer than the limit or not allowed.",
    "Rename the file that the message names.",
  ),
  "push-blob-size": customer(
    413,
    "A file in the commit is larger than the limit.",
    "Keep large files out of the repository.",
  ),
  "push-checkout-size": customer(
    413,
    "The files of the commit are larger than the limit, all together.",
    "Keep data and build output out of the repository.",
  ),
  "push-fsck": customer(
    400,
    "git found a broken or dangerous object.",
    "Run `git fsck` in your clone and mend what it names.",
  ),
  // Builds
  "no-buildpack": customer(
    422,
    "Neither a Dockerfile nor anything that a buildpack knows was found.",
    "Add a Dockerfile, package.json, requirements.txt or index.html at the top of the repository.",
  ),
  "dockerfile-invalid": customer(
    422,
    "The Dockerfile is broken or uses something that is not allowed.",
    "Correct the line that the message names.",
  ),
  "procfile-invalid": customer(
    422,
    "The Procfile has a line that is not `name: command`.",
    "Correct the line that the message names.",
  ),
  "config-invalid": customer(
    422,
    "The app's berth.yaml or app.json has something that does not work.",
    "Correct what the message names by line and column; `berth config check` checks it without a push.",
  ),
  "no-web-process": customer(
    422,
    "There is no `web` process, so nothing could answer requests.",
    "Add a line `web: <command>` to the Procfile.",
  ),
  "build-command-failed": customer(
    422,
    "A command of the build ended with an error.",
    "Read the last lines of the build's output; run the same command locally.",
  ),
  "build-timeout": customer(
    422,
    "The build took longer than the limit.",
    "Make the build smaller, or ask the operator for a higher limit.",
  ),
  "build-output-limit": customer(422, "The build printed more than the limit.", "Make the build quieter."),
  "build-out-of-memory": customer(
    422,
    "The build used more memory than the limit.",
    "Make the build smaller, or ask the operator for a higher limit.",
  ),
  "build-abandoned": operator(
    503,
    "The builder died while it built, more than once.",
    "Push again; the operator looks at the builder's log.",
  ),
  "image-invalid": customer(
    422,
    "The named image cannot be run here.",
    "Correct what the message names, then deploy again.",
  ),
  "image-not-fetched": customer(
    422,
    "The image could not be fetched from its registry.",
    "Check its name; a private image is pushed to the service's own repository: `berth registry login`.",
  ),
  "image-push-failed": operator(
    503,
    "The image could not be pushed to the registry.",
    "Push again; the operator looks at the registry.",
  ),
  "source-unavailable": operator(
    503,
    "The source bundle could not be read from the object store.",
    "Push again; the operator looks at the object store.",
  ),
  "buildpack-unavailable": customer(
    422,
    "The custom buildpack could not be fetched.",
    "Check the buildpack's URL and ref.",
  ),
  // Deploys
  "build-failed": customer(422, "The build failed.", "Read the build's output."),
  "never-listened": customer(
    422,
    "The app did not listen on $PORT in time.",
    "Listen on 0.0.0.0 and the port in the variable PORT.",
  ),
  crashed: customer(
    422,
    "The app ended by itself before it was ready.",
    "Read its last lines; run `berth logs`.",
  ),
  "out-of-memory": customer(
    422,
    "The app used more memory than its limit and was killed.",
    "Raise it with `berth scale web=1 --memory 512MB`, or use less.",
  ),
  "image-unavailable": operator(
    503,
    "The image could not be pulled.",
    "Look at the registry and at the host's disk.",
  ),
  "release-failed": customer(
    422,
    "The release phase did not end well, so nothing of the release was started.",
    "Read what it printed, correct it and deploy again; the release before it keeps serving.",
  ),
  "task-failed": customer(
    422,
    "The command ended with another exit code than 0.",
    "Read what it printed last.",
  ),
  "task-interrupted": operator(
    503,
    "The command's host or its container went away while it ran; it is not started a second time.",
    "Look whether it did its work, then run it again.",
  ),
  unplaceable: customer(
    422,
    "No host can take the job.",
    "See `berth why`; ask for less memory, or add a host.",
  ),
  "start-failed": operator(503, "The container could not be started.", "Read the reason; run `berth why`."),
  "deadline-passed": customer(
    422,
    "The deploy did not finish within its deadline.",
    "See `berth deploys show`, then push again.",
  ),
  cancelled: customer(409, "Somebody cancelled the deploy.", "Push again to deploy."),
  superseded: customer(409, "A later push took this one's place.", "Nothing: the later one is on its way."),
  // Domains
  "domain-not-proved": {
    ...customer(
      409,
      "DNS does not show the TXT record that proves the domain.",
      "Add the record that `berth domains show` prints; DNS may need minutes to show it, then verify again.",
    ),
    retry: "later",
  },
  "domain-taken": customer(
    409,
    "Somebody else has this domain, or had it a short while ago.",
    "Use another name, or wait until the time that the message names.",
  ),
  "certificate-refused": customer(
    422,
    "The certificate or its key cannot be served.",
    "Correct what the message names; bring the certificate, its intermediates and its key as your issuer gave them.",
  ),
  // Hosts
  "join-token-invalid": customer(
    401,
    "The join token is unknown, used or expired.",
    "Make a new one with `berth hosts token`.",
  ),
  "address-pool-exhausted": operator(
    409,
    "The pod has no free subnet for another host.",
    "Give the pod a larger BERTH_HOST_CIDR.",
  ),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;
export const ErrorCode = z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]);

/** Body of every HTTP error. `message` is for people; `requestId` finds it in the logs. */
export const ErrorBody = z.strictObject({
  code: ErrorCode,
  message: z.string(),
  next: z.string(),
  requestId: z.string().optional(),
});
export type ErrorBody = z.infer<typeof ErrorBody>;

/** An operational error of the catalogue. `message` is public; the private reason is the `cause`. */
export class BerthError extends Error {
  override name = "BerthError";
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
  get entry(): ErrorEntry {
    return ERRORS[this.code];
  }
}
