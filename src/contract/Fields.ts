/** A message's own fields. */
export type Field<M> = Exclude<keyof M, "$typeName" | "$unknown"> & string

/** The fields of a message whose values are of a type. */
export type FieldOf<M, V> = { [F in Field<M>]: NonNullable<M[F]> extends V ? F : never }[Field<M>]
