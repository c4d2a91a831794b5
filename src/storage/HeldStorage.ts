import { Effect, Schema, type Scope } from "effect"

/** Two hosts of one program are given the same storage: they would run each other's plugins, and read each other's keys. */
export class StorageSharedError extends Schema.TaggedError<StorageSharedError>()("StorageSharedError", {
  /** The id of the host that can't have it. */
  host: Schema.String,
  /** The id of the host that has it. */
  holder: Schema.String,
  /** What it is, for people. */
  storage: Schema.String,
  cure: Schema.String,
}) {
  override get message(): string {
    return `${this.host} can't have ${this.storage}: ${this.holder}, another host of this program, has it, and they would run each other's plugins and read each other's keys; ${this.cure}`
  }
}

/** Where a service keeps what it stores. */
export interface StoragePlace {
  /** The same for all services that keep it there. */
  readonly key: unknown
  /** What it is, for people. */
  readonly storage: string
  /** How to have another one. */
  readonly cure: string
}

const places = new WeakMap<object, StoragePlace>()

/** Notes where a service keeps what it stores. */
export const storedAt = <S extends object>(service: S, place: StoragePlace): S => {
  places.set(service, place)
  return service
}

/** Of one that somebody else has made nothing is known but that it is the same. */
const placeOf = (service: object): StoragePlace =>
  places.get(service) ?? {
    key: service,
    storage: "this storage",
    cure: "provide each of them with services of its own",
  }

/** Places that hosts have, with how often: the Layers of one host may be built several times. */
const held = new Map<unknown, { readonly host: string; count: number }>()

/** Keeps what services store for one host of this program, while the Scope is open. `host` is the id of its class. */
export const holdStorage = (
  host: string,
  services: Iterable<object>,
): Effect.Effect<void, StorageSharedError, Scope.Scope> =>
  Effect.forEach(
    new Map(Array.from(services, placeOf).map((place) => [place.key, place])).values(),
    ({ cure, key, storage }) =>
      Effect.acquireRelease(
        Effect.suspend(() => {
          const holder = held.get(key) ?? { host, count: 0 }
          if (holder.host !== host) {
            return Effect.fail(new StorageSharedError({ host, holder: holder.host, storage, cure }))
          }
          holder.count++
          held.set(key, holder)
          return Effect.succeed(holder)
        }),
        (holder) =>
          Effect.sync(() => {
            if (--holder.count === 0) held.delete(key)
          }),
      ),
    { discard: true },
  )
