CREATE INDEX `username_reserved_until` ON `username` (`reserved_until`);--> statement-breakpoint
CREATE INDEX `username_hold_until` ON `username_hold` (`until`);