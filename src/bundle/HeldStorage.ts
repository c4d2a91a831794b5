import { Effect, type Scope } from "effect"

/** Where a service keeps what it stores. */
interface StoragePlace {
  /** The same for all services that keep it there. */
  readonly key: unknown
  /** What it is, for people. */
  readonly name: string
}

const places = new WeakMap<object, StoragePlace>()

/** Of a service that somebody else has made nothing is known but that it is the same. */
const placeOf = (service: object): StoragePlace => places.get(service) ?? { key: service, name: "this storage" }

/** Notes the file or the folder, by its real path, in which a service keeps what it stores. */
export const storedAt = <S extends object>(service: S, path: string): S => {
  places.set(service, { key: path, name: path })
  return service
}

/** Notes that a service keeps what it stores where another one does. */
export const storedWith = <S extends object>(service: S, other: object): S => {
  places.set(service, placeOf(other))
  return service
}

/** Places that hosts of this program have, with how often: the Layers of one host may be built several times. */
const held = new Map<unknown, { readonly host: string; count: number }>()

/**
 * Keeps what services store for one host of this program, while the Scope is open. That another one has it is a defect: the two
 * would run each other's plugins, and read each other's keys. `host` is the id of its class.
 */
export const holdStorage = (host: string, services: ReadonlyArray<object>): Effect.Effect<void, never, Scope.Scope> =>
  Effect.forEach(
    services.map(placeOf),
    ({ key, name }) =>
      Effect.acquireRelease(
        Effect.suspend(() => {
          const holder = held.get(key) ?? { host, count: 0 }
          if (holder.host !== host) {
            return Effect.die(
              new Error(
                `${host} can't store its plugins in ${name}: ${holder.host}, another host of this program, does; provide each of them with storage of its own (PluginStorage.layerFile with another file, BundleStore.layer with another folder)`,
              ),
            )
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
