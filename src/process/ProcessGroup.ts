/**
 * The process group of a plugin, whose id is its leader's. Once nobody is left in it the id may become a stranger's:
 * from then on the group is gone for good, and is never signalled again. As long as anybody is in it, or its leader was
 * not reaped, the kernel gives the id to nobody.
 */
export class ProcessGroup {
  readonly id: number
  readonly #onGone: () => void
  #leaderIsReaped = false
  #isGone = false

  /** `onGone` is called once, at the moment the group is seen gone. */
  constructor(id: number, onGone: () => void) {
    this.id = id
    this.#onGone = onGone
  }

  /** To be called at the very moment that the leader has been reaped: before, the id can't be anybody else's. */
  leaderWasReaped(): void {
    this.#leaderIsReaped = true
    this.exists()
  }

  /** Looks whether anybody is left, be it a zombie. */
  exists(): boolean {
    if (this.#isGone || !this.#leaderIsReaped) return !this.#isGone
    // A process of this very id is a stranger's.
    if (isThere(this.id) || !isThere(-this.id)) {
      this.#isGone = true
      this.#onGone()
    }
    return !this.#isGone
  }

  /** Signals everybody in it, unless it is gone. */
  signal(signal: NodeJS.Signals): void {
    if (!this.exists()) return
    try {
      process.kill(-this.id, signal)
    } catch {
      // It has ended since, or may not be signalled.
    }
  }
}

/** Whether there is a process, or with a negative id a member of a group, whoever's it is. */
const isThere = (id: number): boolean => {
  try {
    process.kill(id, 0)
    return true
  } catch (error) {
    // EPERM: it is another user's; or, on macOS, of a group only zombies are left.
    return (error as NodeJS.ErrnoException).code === "EPERM" && !(id < 0 && process.platform === "darwin")
  }
}
