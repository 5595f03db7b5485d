/** An object that is filled step by step, before it is passed on as what nobody changes. */
export type Writable<T> = { -readonly [Name in keyof T]: T[Name] };
