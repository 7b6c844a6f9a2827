# frozen_string_literal: true

require_relative "lib/langop/version"

Gem::Specification.new do |gem|
  gem.name = "langop"
  gem.version = Langop::VERSION
  gem.authors = ["The Language Operator authors"]
  gem.summary = "Agents and tools for the Language Operator"
  gem.description = "Runs agents against MCP tools and models by the Language Operator's environment contract, and serves " \
                    "tools that are declared in Ruby. On nothing but Ruby's standard library and webrick."
  gem.homepage = "https://github.com/language-operator/language-operator"
  gem.license = "Apache-2.0"
  gem.metadata = { "rubygems_mfa_required" => "true" }

  gem.required_ruby_version = ">= 3.1"
  gem.add_dependency "webrick", "~> 1.8"

  # Listed without git, so that it builds from a copy too.
  gem.files = Dir.chdir(__dir__) { Dir["lib/**/*.rb", "exe/*", "sig/**/*.rbs", "README.md", "LICENSE", ".yardopts"] }.sort
  gem.bindir = "exe"
  gem.executables = %w[langop-agent-ruby langop-tool-server]
end
