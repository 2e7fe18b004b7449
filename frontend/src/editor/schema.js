// What a JSON Schema says of a place: the keys that may be there, the values, and what they mean.

/** Return the alternatives that a schema offers, without references and combinations. */
function alternatives(schema, root, depth = 0) {
  if (!schema || typeof schema !== "object" || depth > 12) return [];
  if (schema.$ref) return alternatives(follow(schema.$ref, root), root, depth + 1);
  const parts = [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])];
  const own = parts.length === 0 || schema.properties || schema.enum || "const" in schema ? [schema] : [];
  return [...own, ...parts.flatMap((part) => alternatives(part, root, depth + 1))];
}

const follow = (reference, root) =>
  reference
    .split("/")
    .slice(1)
    .reduce((part, key) => part?.[key.replace(/~1/g, "/").replace(/~0/g, "~")], root);

/** Return the alternatives at a path. `siblings` chooses among alternatives whose constants differ from them. */
export function schemasAt(root, path, siblings = {}) {
  let found = alternatives(root, root);
  for (const step of path) {
    found = found.flatMap((schema) => {
      if (step === "[]") return schema.items ? alternatives(schema.items, root) : [];
      const own = schema.properties?.[step];
      if (own !== undefined) return alternatives(own, root);
      const more = schema.additionalProperties;
      return more && typeof more === "object" && !schema.properties ? alternatives(more, root) : [];
    });
  }
  const fitting = found.filter((schema) =>
    Object.entries(siblings).every(([key, value]) => {
      const wanted = schema.properties?.[key]?.const;
      return wanted === undefined || String(wanted) === value;
    }),
  );
  return fitting.length ? fitting : found;
}

/** Return the keys that may be written at a path: [{name, about, type}], without those that are there. */
export function keysAt(root, path, siblings) {
  const keys = new Map();
  for (const schema of schemasAt(root, path, siblings)) {
    for (const [name, one] of Object.entries(schema.properties ?? {})) {
      if (name in siblings || one === false || keys.has(name)) continue;
      keys.set(name, { name, about: about(one, root), type: typeOf(one, root), required: schema.required?.includes(name) });
    }
  }
  return [...keys.values()];
}

/** Return the values that may be written at a path: [{value, about}]. */
export function valuesAt(root, path, siblings) {
  const owners = schemasAt(root, path.slice(0, -1), siblings);
  const key = path.at(-1);
  const values = new Map();
  for (const owner of owners) {
    for (const schema of alternatives(owner.properties?.[key] ?? (key === "[]" ? owner.items : null), root)) {
      // The meaning of a constant, such as the kind of a check, is that of what has it.
      if ("const" in schema) values.set(String(schema.const), owner.description ?? about(schema, root));
      for (const one of schema.enum ?? []) values.set(String(one), about(schema, root));
      if (schema.type === "boolean") for (const one of ["true", "false"]) values.set(one, about(schema, root));
    }
  }
  return [...values].map(([value, said]) => ({ value, about: said ?? "" }));
}

/** Return what the key at the end of a path means. */
export function meaningOf(root, path, siblings = {}) {
  for (const owner of schemasAt(root, path.slice(0, -1), siblings)) {
    const found = owner.properties?.[path.at(-1)];
    if (found) return { about: about(found, root), type: typeOf(found, root), fallback: found.default };
  }
  return null;
}

function about(schema, root) {
  if (schema.description) return schema.description;
  return alternatives(schema, root).find((one) => one.description)?.description ?? "";
}

function typeOf(schema, root) {
  const types = alternatives(schema, root).map((one) => one.type ?? (one.properties ? "object" : undefined));
  const names = { array: "list", object: "mapping", string: "text", integer: "number", null: "null", boolean: "true or false" };
  const shown = [...new Set(types.flat().filter(Boolean))].map((type) => names[type] ?? type);
  return shown.join(" or ");
}
