# Runs agent code with the Ruby of the system and notes what it says. Every statement of the language is a method that notes its
# arguments and does nothing else. Prints for each file given, in order, one line of JSON: the definition as Ruby understands it.
require 'json'

$notes = []

def require(library)
  raise "another library: #{library}" unless library == 'language_operator'
end

def agent(name)
  noted = { 'name' => name, 'constraints' => {} }
  $notes.push(noted)
  $agent = noted
  yield
end

def description(text) = $agent['description'] = text

def mode(word) = $agent['mode'] = word.to_s

def seconds(duration)
  units = { 'd' => 86_400, 'h' => 3_600, 'm' => 60, 's' => 1 }
  duration.scan(/(\d+)([dhms])/).sum { |number, unit| number.to_i * units[unit] }
end

def schedule(every: nil, cron: nil, time_zone: nil, only: nil)
  first, *also = [*cron]
  $agent['schedule'] =
    if every
      { 'every' => { 'seconds' => seconds(every) } }
    else
      { 'cron' => { 'expression' => first, 'also' => also.empty? ? nil : also, 'timeZone' => time_zone,
                    'only' => only }.compact }
    end
end

def objectives(list) = $agent['objectives'] = list

def workflow
  $agent['steps'] = []
  yield
end

def step(name, depends_on: nil, only_if: nil, each: nil)
  $step = { 'name' => name, 'dependsOn' => depends_on && [*depends_on], 'onlyIf' => only_if,
            'each' => each && each['$result'] }.compact
  $agent['steps'].push($step)
  yield
end

def use_tool(tool, action: nil, params: nil)
  $step['action'] = { 'useTool' => { 'tool' => tool, 'action' => action, 'params' => params }.compact }
end

def ask(prompt, model: nil)
  $step['action'] = { 'ask' => { 'prompt' => prompt, 'model' => model }.compact }
end

def result(step) = { '$result' => step }

def item = { '$item' => true }

def constraints(max_iterations: nil, timeout: nil)
  $agent['constraints'] =
    { 'maxIterations' => max_iterations, 'timeoutSeconds' => timeout && seconds(timeout) }.compact
end

ARGV.each do |folder|
  Dir.children(folder).sort.each do |file|
    $notes.clear
    begin
      load(File.join(folder, file))
      puts JSON.generate($notes, max_nesting: 0)
    rescue Exception => error
      puts JSON.generate(["#{error.class}: #{error.message}"])
    end
  end
end
