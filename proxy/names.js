"use strict";
// Names of files need not be text. The proxy decodes the path of an address only to look for its route, and failed
// with 500 where the bytes are no UTF-8: such a path is looked for as it is written.
const decode = globalThis.decodeURIComponent;

globalThis.decodeURIComponent = (text) => {
  try {
    return decode(text);
  } catch (error) {
    if (error instanceof URIError) {
      return text;
    }
    throw error;
  }
};
