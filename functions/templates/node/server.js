const http = require("http");

const server = http.createServer((request, response) => {
  const body = [];
  request.on("data", (chunk) => body.push(chunk));
  request.on("end", () => {
    const name = Buffer.concat(body).toString() || "world";
    response.setHeader("Content-Type", "text/plain; charset=utf-8");
    response.end(`Hello, ${name}! This is Node.js.\n`);
  });
});

const port = process.env.PORT || 8080;
server.listen(port, "0.0.0.0", () => console.log(`listens on port ${port}`));
