// Keeps tokens out of the proxy's log: SciServer's client libraries send them as a part of the path.
// Loaded before the proxy's own program (node --require). sciserver_auth/redaction.py does the same for the hub.

"use strict";

const SLASH = "(?:/|%(?:25)*2F)+";
const SECRETS = [
  new RegExp(`(keystone${SLASH}v[\\d.]+${SLASH}tokens${SLASH})[^\\s/?&#"'<>]+`, "gi"),
  new RegExp(`(scidrive${SLASH}media${SLASH})[^\\s/?&#"'<>%]+`, "gi"),
  new RegExp(`((?:[?&]|%(?:25)*(?:3F|26))(?:\\w*token|ident|password|code|state)(?:=|%(?:25)*3D))[^\\s&#"'<>%]+`, "gi"),
];

const redact = (text) => SECRETS.reduce((before, secret) => before.replace(secret, "$1[secret]"), text);

for (const stream of [process.stdout, process.stderr]) {
  const write = stream.write.bind(stream);
  stream.write = (chunk, ...rest) => {
    if (typeof chunk === "string") return write(redact(chunk), ...rest);
    // "latin1" gives back the same bytes, whatever they are.
    return write(Buffer.from(redact(Buffer.from(chunk).toString("latin1")), "latin1"), ...rest);
  };
}
