# frozen_string_literal: true

require "date"

module Langop
  # Whether a run that a CronJob started is due at all: AGENT_SCHEDULE_ONLY names the days. Date
  # arithmetic and nothing else; no model is asked.
  class Days
    # A pod may start after midnight: so long before, the schedule may have fired.
    LATEST_START_MINUTES = 60
    WEEKDAYS = %w[SUN MON TUE WED THU FRI SAT].freeze
    LONG_WEEKDAYS = Date::DAYNAMES.map(&:upcase).freeze
    MONTHS = Date::ABBR_MONTHNAMES.drop(1).map(&:upcase).freeze
    WHICH = %w[first second third fourth last].freeze
    ZONES = "/usr/share/zoneinfo"

    # What is wrong, with the variable it is in.
    class Wrong < StandardError
      attr_reader :variable

      def initialize(variable, message)
        @variable = variable
        super(message)
      end
    end

    # @param only [String] AGENT_SCHEDULE_ONLY
    # @param cron [String, nil] AGENT_SCHEDULE; unset: any minute
    # @param zone [String, nil] AGENT_TIME_ZONE; unset: UTC
    # @raise [Wrong]
    def initialize(only, cron, zone)
      @only = only
      @due = parse(only)
      @fields = cron_fields(cron || "* * * * *")
      @zone = zone || "UTC"
      return if %w[UTC Etc/UTC].include?(@zone)
      return if @zone.match?(%r{\A[A-Za-z][A-Za-z0-9_+/-]*\z}) && File.file?(File.join(ZONES, @zone))

      raise Wrong.new("AGENT_TIME_ZONE", "is wrong: unknown time zone; write an IANA name such as Europe/Berlin")
    end

    # @param now [Time]
    # @return [String, nil] why a run that begins now has nothing to do; nil if it is due
    def not_due(now = Time.now)
      date = date_of_run(now)
      "not due: #{date} is no day of '#{@only}'" unless @due.call(date)
    end

    # The day that a run is for: that of the last time at which the schedule fired, at most an hour
    # before; else that of `now`, for a run that a person started.
    # @return [Date]
    def date_of_run(now)
      minutes = (0..LATEST_START_MINUTES).map { |minute| now - (60 * minute) }
      in_zone do
        fired = minutes.map { |time| Time.at(time.to_i) }.find { |time| fires?(time) }
        (fired || Time.at(now.to_i)).to_date
      end
    end

    private

    # The C library knows zones only by the variable; it is read at the start, before there are threads.
    def in_zone
      before = ENV.fetch("TZ", nil)
      ENV["TZ"] = @zone
      yield
    ensure
      ENV["TZ"] = before
    end

    def parse(text)
      case text.downcase.split
      in ["last", "day", "of", "month"] then ->(date) { date.day == days_in_month(date) }
      in ["every", weeks, "weeks", "from", from] then every_weeks(weeks, from)
      in [which, day] then weekday_of_month(which, day)
      else raise unknown
      end
    end

    def every_weeks(weeks, from)
      weeks = Integer(weeks, 10, exception: false)
      raise unknown unless weeks && (2..52).cover?(weeks) && from.match?(/\A\d{4}-\d\d-\d\d\z/)

      from = Date.strptime(from, "%Y-%m-%d")
      ->(date) { date >= from && ((date - from).to_i / 7 % weeks).zero? }
    rescue Date::Error
      raise unknown
    end

    def weekday_of_month(which, day)
      weekday = WEEKDAYS.index(day.upcase) || LONG_WEEKDAYS.index(day.upcase)
      raise unknown unless weekday && WHICH.include?(which)

      lambda do |date|
        nth = (date.day - 1) / 7
        is_nth = which == "last" ? date.day + 7 > days_in_month(date) : nth == WHICH.index(which)
        date.wday == weekday && is_nth
      end
    end

    def unknown
      Wrong.new("AGENT_SCHEDULE_ONLY", "is wrong: unknown days; write `last day of month`, `first MON` (or second, " \
                                       "third, fourth, last and another day), or `every 2 weeks from 2026-01-06`")
    end

    def days_in_month(date) = Date.new(date.year, date.month, -1).day

    def cron_fields(expression)
      texts = expression.split
      raise bad_cron unless texts.size == 5

      ranges = [0..59, 0..23, 1..31, 1..12, 0..6]
      names = [nil, nil, nil, MONTHS, WEEKDAYS]
      texts.zip(ranges, names).map { |text, range, words| cron_field(text, range, words) }
    end

    # The values of a field; nil for every one of them, which is more than all: it takes no part in the
    # rule that either day is enough.
    def cron_field(text, range, words)
      return nil if text == "*"

      text.split(",", -1).flat_map do |part|
        span, step = part.split("/", 2)
        first, last = span == "*" ? [range.first, range.last] : span.split("-", 2).map { |word| cron_value(word, range, words) }
        last ||= first
        step = step ? Integer(step, 10, exception: false) : 1
        raise bad_cron unless first && step&.positive? && first <= last

        (first..last).step(step).to_a
      end
    end

    def cron_value(word, range, words)
      named = words&.index(word.upcase)
      value = named ? named + range.first : Integer(word, 10, exception: false)
      raise bad_cron unless value && range.cover?(value)

      value
    end

    def bad_cron
      Wrong.new("AGENT_SCHEDULE", "is wrong: write five fields of a cron expression, such as 0 9 * * 1-5")
    end

    def fires?(time)
      minute, hour, day, month, weekday = @fields
      holds = ->(field, value) { field.nil? || field.include?(value) }
      days = [holds.call(day, time.day), holds.call(weekday, time.wday)]
      is_day = day && weekday ? days.any? : days.all?
      holds.call(minute, time.min) && holds.call(hour, time.hour) && holds.call(month, time.month) && is_day
    end
  end
end
