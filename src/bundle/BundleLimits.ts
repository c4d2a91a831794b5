import { Context, Duration } from "effect"

const MIB = 1024 * 1024

/** What an operator may set of the archives and folders that plugins are installed from. */
export interface BundleLimitsValues {
  /** Bytes of an archive as it comes. Default 256 MiB: a plugin with the wheels of a large library has about half. */
  readonly archive: number
  /** Bytes of all that is unpacked, the archive's own headers among them. Default 1 GiB, for the same wheels unpacked. */
  readonly unpacked: number
  /** Bytes of one file. Default 512 MiB: the largest file of real bundles is a compiled library or a wheel. */
  readonly file: number
  /**
   * Files and folders. Default 20,000: each costs some tenths of a millisecond and a block of the disk, whatever its size. A
   * plugin with its libraries has up to some thousand.
   */
  readonly entries: number
  /**
   * How many times more may come out of an archive than went in, above the first {@link RATIO_FREE} bytes. Default 200:
   * program text has about 5, and what is made to fill a disk 1000.
   */
  readonly ratio: number
  /** How long it may take until all has come and is unpacked. Default 5 minutes, for uploads over slow lines. */
  readonly time: Duration.Input
  /** Bytes that have to stay free on the store's disk. Default 256 MiB: the host's database has to write as well. */
  readonly freeDisk: number
}

/**
 * The bounds of what plugins are installed from. `BundleStore.layer` takes those that it is provided with, and so does
 * `AdminRoutes.layer`, which bounds uploads by them; `packBundle` those of its caller.
 */
export const BundleLimits = Context.Reference<BundleLimitsValues>("effect-plugin-supervisor/bundle/BundleLimits", {
  defaultValue: () => ({
    archive: 256 * MIB,
    unpacked: 1024 * MIB,
    file: 512 * MIB,
    entries: 20_000,
    ratio: 200,
    time: Duration.minutes(5),
    freeDisk: 256 * MIB,
  }),
})

/** Bytes that may come out of an archive whatever its ratio is: they hurt nobody, and small archives may pack well. */
export const RATIO_FREE: number = 16 * MIB

/**
 * Bytes between the content of one file and the header of the next: long names and extended attributes, which have a few
 * hundred. They are parsed in memory and at one go. Buffers that run ahead of the parser count as well.
 */
export const HEADERS_LIMIT: number = 1024 * 1024

/** Bytes of a name in a path: what file systems take. */
export const SEGMENT_LIMIT = 255

/** Bytes of a path in a bundle: the system takes 4096, the store's own folders included. */
export const PATH_LIMIT = 1024

/** Folders in folders. Real bundles have about ten. */
export const DEPTH_LIMIT = 32
