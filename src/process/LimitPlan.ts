import { existsSync, readFileSync } from "node:fs"
import type { ControlGroup } from "./ControlGroup.ts"
import { describeLimit, givenLimits, type HeldLimit, type LimitName, type ProcessLimits } from "./ProcessLimits.ts"
import type { ProcessUser } from "./ProcessUser.ts"

/** What holds limits on this machine. */
export interface LimitMeans {
  readonly platform: NodeJS.Platform
  /** Whether programs of the system can become the plugin. */
  readonly isWrapped: boolean
  /** The path of util-linux' `prlimit`. */
  readonly prlimit: string | undefined
  /** Whether the host sees processes. */
  readonly canWatch: boolean
  readonly controlGroup: ControlGroup | undefined
}

/** How limits are held. */
export interface LimitPlan {
  readonly held: ReadonlyArray<HeldLimit>
  /** Arguments of `prlimit`. */
  readonly resources: ReadonlyArray<string>
  /** What the process is to write to its `oom_score_adj`. */
  readonly oomScore: number | undefined
  /** What the host has to look after. */
  readonly watched: ReadonlyArray<readonly ["memory" | "processes", number]>
}

/** What became of one limit. */
type Fate = Pick<HeldLimit, "mode" | "note"> & {
  readonly resource?: string
  readonly oomScore?: number
}

const NO_GROUP = "there is no control group that the host may use"

const WATCHED = "looked at once a second, so that it may be more for that long"

/** Decides how each limit is held, the best that this machine has first; and has the control group hold what it can. */
export const planLimits = (limits: ProcessLimits, user: ProcessUser | undefined, means: LimitMeans): LimitPlan => {
  const fates = givenLimits(limits).map(([name, value]) => ({ name, value, fate: fateOf(name, value, user, means) }))
  return {
    held: fates.map(({ fate: { mode, note }, name, value }) => ({
      name,
      value: describeLimit(name, value),
      mode,
      ...(note === undefined ? {} : { note }),
    })),
    resources: fates.flatMap(({ fate: { resource } }) => resource ?? []),
    oomScore: fates.find(({ fate }) => fate.oomScore !== undefined)?.fate.oomScore,
    watched: fates.flatMap(({ fate, name, value }) =>
      fate.mode === "watched" && (name === "memory" || name === "processes") ? [[name, value] as const] : [],
    ),
  }
}

const fateOf = (name: LimitName, value: number, user: ProcessUser | undefined, means: LimitMeans): Fate => {
  if (means.platform !== "linux") return { mode: "unavailable", note: "there are limits on Linux only" }
  const unwrapped: Fate | undefined = means.isWrapped
    ? undefined
    : {
        mode: "unavailable",
        note: "programs of the system can't start the plugin, for its variables (LD_*, or names no shell has)",
      }
  /** By `prlimit`; a lower limit that the host has itself is one too. */
  const byProcess = (flag: string, note?: string): Fate =>
    unwrapped ??
    (means.prlimit === undefined
      ? { mode: "unavailable", note: "there is no prlimit of util-linux" }
      : { mode: "process", resource: flag, ...(note === undefined ? {} : { note }) })
  const soft = (resource: string) => Math.min(value, hardLimit(resource))
  switch (name) {
    case "memory":
    case "processes":
    case "cpus": {
      const refused = means.controlGroup === undefined ? NO_GROUP : means.controlGroup.limit(name, value)
      if (refused === undefined) return { mode: "control group" }
      if (name === "cpus") return { mode: "unavailable", note: refused }
      if (name === "processes" && user !== undefined && user.uid !== 0 && user.uid !== process.getuid?.()) {
        const count = soft("Max processes")
        return byProcess(`--nproc=${count}:${count}`, `counted over all that user ${user.name} runs; ${refused}`)
      }
      if (!means.canWatch) return { mode: "unavailable", note: `${refused}, and /proc can't be read` }
      return { mode: "watched", note: `${WATCHED}; ${refused}` }
    }
    case "openFiles": {
      const count = soft("Max open files")
      return byProcess(`--nofile=${count}:${count}`, count < value ? `the host itself may have ${count}` : undefined)
    }
    case "cpuSeconds": {
      const seconds = soft("Max cpu time")
      // One second later who has not obeyed SIGXCPU is killed.
      return byProcess(`--cpu=${seconds}:${Math.min(seconds + 1, hardLimit("Max cpu time"))}`)
    }
    case "oomScoreAdjust":
      if (!existsSync("/bin/sh")) return { mode: "unavailable", note: "there is no /bin/sh" }
      return unwrapped ?? { mode: "process", oomScore: Math.min(ownOomScore() + value, 1000) }
  }
}

const readOwn = (file: string): string => {
  try {
    return readFileSync(`/proc/self/${file}`, "utf8")
  } catch {
    return ""
  }
}

const ownOomScore = (): number => Number(readOwn("oom_score_adj"))

/** The most that this process may set for itself and for others. */
const hardLimit = (resource: string): number => {
  // Limit, soft limit, hard limit, units: columns with two blanks between them at least.
  const line = readOwn("limits")
    .split("\n")
    .find((line) => line.startsWith(resource))
  const hard = Number(line?.slice(resource.length).trim().split(/\s+/)[1])
  return Number.isNaN(hard) ? Number.POSITIVE_INFINITY : hard
}
