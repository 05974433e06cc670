/** The client program of Docker, for floors that a person would write with it. */
import { existsSync } from "node:fs";

/** `/usr/bin/docker` where it exists: a newer client elsewhere on PATH may not fit Debian's engine. */
export const dockerClient = existsSync("/usr/bin/docker") ? "/usr/bin/docker" : "docker";
