/** Ends a build from anywhere inside it. Carries the failure as data; `run-build` turns it into the answer. */
import { type BuildFailure, describeFailure } from "./build-failure.ts";

export class BuildStopped extends Error {
  override name = "BuildStopped";
  readonly failure: BuildFailure;

  constructor(failure: BuildFailure, options?: { cause?: unknown }) {
    super(describeFailure(failure), options);
    this.failure = failure;
  }
}
