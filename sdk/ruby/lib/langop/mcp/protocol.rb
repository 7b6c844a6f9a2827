# frozen_string_literal: true

module Langop
  # What both sides of the Model Context Protocol must agree on.
  module MCP
    # The version without a handshake.
    MODERN = "2026-07-28"
    # Those with one, newest first.
    LEGACY = %w[2025-11-25 2025-06-18 2025-03-26 2024-11-05].freeze

    # Entries of `_meta` in every modern request.
    META_VERSION = "io.modelcontextprotocol/protocolVersion"
    META_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
    META_CLIENT = "io.modelcontextprotocol/clientInfo"
    META_SERVER = "io.modelcontextprotocol/serverInfo"

    # Codes of errors.
    PARSE_ERROR = -32_700
    INVALID_REQUEST = -32_600
    METHOD_NOT_FOUND = -32_601
    INVALID_PARAMS = -32_602
    INTERNAL_ERROR = -32_603
    HEADER_MISMATCH = -32_020
    MISSING_CAPABILITY = -32_021
    UNSUPPORTED_VERSION = -32_022
    # By these a server shows that it is modern.
    MODERN_ERRORS = [HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION].freeze
  end
end
