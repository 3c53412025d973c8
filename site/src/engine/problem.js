// One kind of error: `code` for programs, `message` for people.
export function problem(code, message) {
  return Object.assign(new Error(message), { code });
}
