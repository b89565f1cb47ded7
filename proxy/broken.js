"use strict";
// An answer that a service breaks off must break off at the client too. Node's `pipe` does not end the destination of
// a source that was cut, so the client would wait for the rest for ever.
const { IncomingMessage } = require("node:http");

const pipe = IncomingMessage.prototype.pipe;

IncomingMessage.prototype.pipe = function (destination, options) {
  this.once("close", () => {
    if (!this.complete) {
      destination.destroy();
    }
  });
  return pipe.call(this, destination, options);
};
