-- What an attempt's runner cost. The amount is decimal text, so that no digit is lost; NULL where nothing was billed.
ALTER TABLE attempts ADD COLUMN cost_amount TEXT;
ALTER TABLE attempts ADD COLUMN cost_currency TEXT;
ALTER TABLE attempts ADD COLUMN billed_hours INTEGER;
ALTER TABLE attempts ADD COLUMN used_seconds INTEGER;
