/**
 * How a job's process is started: a mounted busybox reads the job's variables and becomes the command.
 *
 * The busybox shell would run its own applets for names such as `sh` or `env`, so a bare name is looked up in PATH
 * by hand and executed by its path: the app gets the programs of its own image.
 */

export const INIT_PATH = "/.berth-init/busybox";
export const ENV_PATH = "/run/secrets/env";

const SCRIPT = `. ${ENV_PATH} || exit 126
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
