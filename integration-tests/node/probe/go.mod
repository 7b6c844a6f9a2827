module langop.io/integration-tests/node/probe

go 1.26.0
