/**
 * How a job's process is started: a mounted busybox reads the job's variables and becomes the command.
 *
 * The busybox shell would run its own applets for names such as `sh` or `env`, so a bare name is looked up in PATH
 * by hand and executed by its path: the app gets the programs of its own image.
 */

export const INIT_PATH = "/.berth-init/busybox";
export const ENV_PATH = "/run/secrets/env";
export const ROUTES_PATH = "/proc/net/route";

/** The agent lays the container's cable once it runs; the route comes last. Shell built-ins alone look for it. */
const UNTIL_ROUTED = `berth_routed() {
  while read -r berth_d berth_t berth_r; do
    [ "$berth_d $berth_t" = "eth0 00000000" ] && return 0
  done <${ROUTES_PATH}
  return 1
}
until berth_routed; do usleep 4000; done
`;

const SCRIPT = `${UNTIL_ROUTED}. ${ENV_PATH} || exit 126
berth_c=$1
shift
case $berth_c in
  */*) ;;
  *)
    berth_i=\${IFS-unset}
    IFS=:
    for berth_d in $PATH; do
      if [ -f "$berth_d/$berth_c" ] && [ -x "$berth_d/$berth_c" ]; then berth_c=$berth_d/$berth_c; break; fi
    done
    if [ "$berth_i" = unset ]; then unset IFS; else IFS=$berth_i; fi
    case $berth_c in
      */*) ;;
      *) echo "berth: command not found: $berth_c" >&2; exit 127 ;;
    esac
    ;;
esac
exec "$berth_c" "$@"`;

export const ENTRYPOINT: readonly string[] = [INIT_PATH, "sh", "-c", SCRIPT, "berth"];

export interface ImageCommand {
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly hasLauncher: boolean;
}

/**
 * @param command the Procfile's line; empty means the image's own command
 * @returns argv, or null when neither the Procfile nor the image names a command
 */
export function launchCommand(command: string, image: ImageCommand): readonly string[] | null {
  if (command !== "") return image.hasLauncher ? ["/berth/launch", command] : ["/bin/sh", "-c", command];
  const own = [...image.entrypoint, ...image.cmd];
  return own.length === 0 ? null : own;
}
