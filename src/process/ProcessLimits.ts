import { ByteSize } from "effect"

/** What a plugin may take of the machine. What is absent is not limited; {@link HeldLimit} tells how each is held. */
export interface ProcessLimits {
  /**
   * Memory of the plugin and all that it has started, in bytes. What they share counts once. Who takes more is ended, and
   * its end says so.
   */
  readonly memory?: number | undefined
  /** Files, sockets and pipes that each of its processes may have open; from then on it gets EMFILE. */
  readonly openFiles?: number | undefined
  /** Processors that the plugin and all that it has started may keep busy: `0.5` is half of one. More has to wait. */
  readonly cpus?: number | undefined
  /** Seconds that each of its processes may compute for in its whole life; then it is ended. For plugins that run briefly. */
  readonly cpuSeconds?: number | undefined
  /** Processes of the plugin and all that it has started; each of their threads is one, as the kernel counts. */
  readonly processes?: number | undefined
  /**
   * By how much rather than the host the kernel ends the plugin when the machine has no memory left, from 0 to 1000
   * (`oom_score_adj`): 300 is as if it took 30 % more of the machine's memory.
   */
  readonly oomScoreAdjust?: number | undefined
}

export type LimitName = keyof ProcessLimits

/**
 * How a limit is held: by the kernel for the plugin's `control group`, all of it at once; by the kernel for each `process`, which
 * hands it on to those that it starts; `watched` by the host, which looks once a second and ends who is over it; or
 * `unavailable`: not at all, for want of something.
 */
export type LimitMode = "control group" | "process" | "watched" | "unavailable"

/** A limit that was asked for, and what has become of it. */
export interface HeldLimit {
  readonly name: LimitName
  /** As text, with its unit. */
  readonly value: string
  readonly mode: LimitMode
  /** Why it is not held better, and what it is worth so. */
  readonly note?: string | undefined
}

/** A number of bytes in words: `256 MiB`. */
export const formatBytes = (bytes: number): string => ByteSize.format(ByteSize.bytes(bytes))

/** In words, as values of limits and as what a plugin did that was over one. */
const WORDS: { readonly [N in LimitName]: { readonly value: (value: number) => string; readonly over: string } } = {
  memory: { value: (value) => `${formatBytes(value)} of memory`, over: "used" },
  openFiles: { value: (value) => `${value} open files`, over: "had" },
  cpus: { value: (value) => `${value} processors`, over: "kept busy" },
  cpuSeconds: { value: (value) => `${value} s of processor time`, over: "used" },
  processes: { value: (value) => `${value} processes and threads`, over: "ran" },
  oomScoreAdjust: { value: (value) => `${value} points more of oom_score_adj`, over: "had" },
}

export const describeLimit = (name: LimitName, value: number): string => WORDS[name].value(value)

/** Why a plugin was ended that was over a limit. */
export const overLimit = (name: LimitName, value: number): string =>
  `${WORDS[name].over} more than ${describeLimit(name, value)}`

const isWhole = (from: number, to = Number.MAX_SAFE_INTEGER) => ({
  test: (value: number) => Number.isSafeInteger(value) && value >= from && value <= to,
  expected: `a whole number, from ${from}${to === Number.MAX_SAFE_INTEGER ? "" : ` to ${to}`}`,
})

/** What each may be. Cgroups take a hundredth of a processor at least. */
export const LIMIT_VALUES: {
  readonly [N in LimitName]: { readonly test: (value: number) => boolean; readonly expected: string }
} = {
  memory: isWhole(1),
  openFiles: isWhole(1),
  cpus: { test: (value) => value >= 0.01 && value <= 10_000, expected: "a number of processors, from 0.01" },
  cpuSeconds: isWhole(1),
  processes: isWhole(1),
  oomScoreAdjust: isWhole(0, 1000),
}

const NAMES = Object.keys(LIMIT_VALUES) as ReadonlyArray<LimitName>

/** Those that are set, in a fixed order. */
export const givenLimits = (limits: ProcessLimits): ReadonlyArray<readonly [name: LimitName, value: number]> =>
  NAMES.flatMap((name) => {
    const value = limits[name]
    return value === undefined ? [] : [[name, value] as const]
  })

/** What is wrong with limits that can't be set; undefined if they can. */
export const limitProblem = (limits: ProcessLimits): string | undefined =>
  givenLimits(limits)
    .filter(([name, value]) => !LIMIT_VALUES[name].test(value))
    .map(([name, value]) => `its limit ${name} is ${value}: expected ${LIMIT_VALUES[name].expected}`)[0]
