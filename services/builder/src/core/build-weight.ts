/**
 * What a build weighs beside what serves requests on the same machine. Weights count only when there is too little for
 * everybody: on an idle machine a build gets all that its limits allow. A sixteenth is enough for an app's request to go
 * first, and leaves a build something on a full machine.
 */

/** Control groups version 1, where a container has 1024; the Engine turns it into a weight of version 2 by itself. */
export const BUILD_CPU_SHARES = 64;
/** Control groups version 2, where a group has 100. */
export const BUILD_CPU_WEIGHT = 6;
/** Of disk time, where a group has 100; only disks whose scheduler knows weights (BFQ, iocost) look at it. */
export const BUILD_IO_WEIGHT = 10;
