/** One way to bring a commit live. Arms are run in turns, so that a busy machine is busy for all of them. */

export interface Span {
  readonly name: string;
  readonly ms: number;
}

export interface Sample {
  /** From the start of `git push` to the first 200 that came from the new commit. */
  readonly wallMs: number;
  /** Where it went, in order. */
  readonly spans: readonly Span[];
  /** Share of the wall time that the spans explain, in [0, 1]. */
  readonly coveredShare: number;
}

export interface Arm {
  readonly name: string;
  /** Changes the code, commits, brings it live, and comes back when nothing of it is under way any more. */
  deploy(): Promise<Sample>;
}

/** The first one carries the whole base image to every engine. */
export const deployTimeoutMs = 300_000;

/** Of the container, in every arm. */
export const containerLimits = { memoryBytes: 256 * 1024 ** 2, cpuMillis: 1000 };
