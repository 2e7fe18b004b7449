// What the talk shows beside its content.

import { signal } from "@preact/signals";

export const picked = signal(null); // names of the variants that answer; null for the default
export const refused = signal("");

/** Return a function from a variant's name to its title. */
export function titles(variants) {
  const methods = variants.map((one) => one.title);
  return (name) => {
    const one = variants.find((variant) => variant.name === name);
    if (!one) return name;
    return one.run && methods.filter((method) => method === one.title).length > 1 ? name : one.title;
  };
}
