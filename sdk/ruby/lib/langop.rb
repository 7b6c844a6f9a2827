# frozen_string_literal: true

# Agents, tools and clients for the Language Operator, on nothing but Ruby's standard library and webrick.
module Langop
  # MCP tools and models, as the environment names them.
  module Client; end

  # Running an agent's definition.
  module Agent
    # Decides what is to be done next, and does nothing itself.
    module Engine; end
  end
end

require_relative "langop/version"
require_relative "langop/failure"
require_relative "langop/secrets"
require_relative "langop/quote"
require_relative "langop/duration"
require_relative "langop/days"
require_relative "langop/deadline"
require_relative "langop/log"
require_relative "langop/metrics"
require_relative "langop/environment"
require_relative "langop/definition"
require_relative "langop/schema"
require_relative "langop/mcp/protocol"
require_relative "langop/mcp/headers"
require_relative "langop/client/trouble"
require_relative "langop/client/http"
require_relative "langop/client/event_stream"
require_relative "langop/client/connection"
require_relative "langop/client/operation"
require_relative "langop/client/tools"
require_relative "langop/client/completion"
require_relative "langop/client/models"
require_relative "langop/traces"
require_relative "langop/client/base"
require_relative "langop/agent/report"
require_relative "langop/agent/code"
require_relative "langop/agent/checkpoint"
require_relative "langop/agent/engine/step_result"
require_relative "langop/agent/engine/items"
require_relative "langop/agent/engine/order"
require_relative "langop/agent/engine/workflow"
require_relative "langop/agent/engine/functions"
require_relative "langop/agent/engine/prompt"
require_relative "langop/agent/engine/chat_loop"
require_relative "langop/agent/works"
require_relative "langop/agent/run"
require_relative "langop/agent/workflow_driver"
require_relative "langop/agent/objectives_driver"
require_relative "langop/agent/executor"
require_relative "langop/agent/resident"
require_relative "langop/agent/asked"
require_relative "langop/dsl"
require_relative "langop/tool_loader"
require_relative "langop/http_server"
require_relative "langop/mcp/endpoint"
require_relative "langop/command/run_agent"
require_relative "langop/command/serve_tools"
