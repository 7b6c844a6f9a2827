# frozen_string_literal: true

module Langop
  # Of this gem, and of what it tells servers of itself.
  VERSION = "0.1.0"
end
