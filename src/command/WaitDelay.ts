import { Duration } from "effect"

/**
 * Time between SIGTERM and SIGKILL when a plugin is stopped: what Mattermost gives its Python plugins
 * (`exec.Cmd.WaitDelay`), and enough for a Python process to flush and close.
 */
export const WAIT_DELAY: Duration.Duration = Duration.seconds(5)
