import type { ChildProcess } from "node:child_process"
import { type Deferred, Duration } from "effect"
import type { ControlGroup } from "./ControlGroup.ts"
import type { ProcessGroup } from "./ProcessGroup.ts"
import type { ProcessExit, ProcessSpec, RunningProcess } from "./ProcessSpec.ts"

/** A process that was started, and what it is held by. */
export interface Child {
  readonly node: ChildProcess
  readonly spec: ProcessSpec
  readonly marker: string
  readonly group: ProcessGroup
  readonly controlGroup: ControlGroup | undefined
  /** What it was ended for, once it was for a limit. */
  readonly ended: { overLimit: string | undefined }
  readonly exit: Deferred.Deferred<ProcessExit>
  readonly closed: Deferred.Deferred<void>
  readonly running: RunningProcess
}

/**
 * How long the pipes may stay open after the process is gone. What it wrote last is there at once; only a survivor
 * that left the group and can't be found holds them longer.
 */
export const DRAIN_LIMIT = Duration.millis(500)
