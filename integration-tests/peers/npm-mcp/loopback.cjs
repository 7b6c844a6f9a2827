// Keeps a server that would listen on every interface on loopback.
const net = require('net'), listen = net.Server.prototype._listen2;
net.Server.prototype._listen2 = function (address, port, type, ...rest) {
  const isOpen = port >= 0 && (!address || address === '::' || address === '0.0.0.0');
  return isOpen ? listen.call(this, '127.0.0.1', port, 4, ...rest) : listen.call(this, address, port, type, ...rest);
};
