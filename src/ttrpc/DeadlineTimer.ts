/** The longest time that Node's timers know, in milliseconds. */
const MAX_TIMER = 2 ** 31 - 1

/** One timer for the deadlines of all calls of a connection, in milliseconds as `performance.now` has them. */
export interface DeadlineTimer {
  /** Sees to it that calls are looked at when that deadline passes. */
  readonly watch: (deadline: number) => void
  /** Nothing more is looked at. */
  readonly stop: () => void
}

/**
 * `expire` ends the calls whose deadline has passed, and answers the earliest of the others, or Infinity. A call that ends
 * before its deadline costs nothing: the timer goes off then, and finds the next one.
 */
export const deadlineTimer = (expire: (now: number) => number): DeadlineTimer => {
  let timer: NodeJS.Timeout | undefined
  /** When the timer goes off. */
  let due = Infinity

  const watch = (deadline: number): void => {
    if (deadline >= due) return
    clearTimeout(timer)
    due = deadline
    timer = setTimeout(
      () => {
        due = Infinity
        watch(expire(performance.now()))
      },
      Math.min(MAX_TIMER, Math.max(1, Math.ceil(deadline - performance.now()))),
    )
  }

  return {
    watch,
    stop: () => {
      clearTimeout(timer)
      due = -Infinity
    },
  }
}
