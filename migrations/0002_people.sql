CREATE TABLE `audience_exception` (
	`owner` text NOT NULL,
	`subject` text NOT NULL,
	`other` text NOT NULL,
	PRIMARY KEY(`owner`, `other`, `subject`),
	FOREIGN KEY (`owner`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`other`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `audience_exception_other` ON `audience_exception` (`other`);--> statement-breakpoint
CREATE TABLE `contact` (
	`owner` text NOT NULL,
	`other` text NOT NULL,
	`added_at` integer NOT NULL,
	PRIMARY KEY(`owner`, `other`),
	FOREIGN KEY (`owner`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`other`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `contact_other` ON `contact` (`other`);--> statement-breakpoint
CREATE TABLE `report` (
	`id` text PRIMARY KEY NOT NULL,
	`reporter` text NOT NULL,
	`reported` text NOT NULL,
	`reason` text NOT NULL,
	`conversation` text,
	`evidence` text,
	`at` integer NOT NULL,
	FOREIGN KEY (`reporter`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`reported`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `report_reporter` ON `report` (`reporter`);--> statement-breakpoint
CREATE INDEX `report_reported` ON `report` (`reported`);--> statement-breakpoint
CREATE TABLE `user` (
	`id` text PRIMARY KEY NOT NULL,
	`phone_hash` text NOT NULL,
	`phone_end` text NOT NULL,
	`name` text DEFAULT '' NOT NULL,
	`about` text DEFAULT '' NOT NULL,
	`link` text,
	`discoverable` integer DEFAULT true NOT NULL,
	`seen_audience` text DEFAULT 'contacts' NOT NULL,
	`picture_audience` text DEFAULT 'contacts' NOT NULL,
	`about_audience` text DEFAULT 'contacts' NOT NULL,
	`groups_audience` text DEFAULT 'contacts' NOT NULL,
	`created_at` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `user_phone_hash_unique` ON `user` (`phone_hash`);--> statement-breakpoint
CREATE UNIQUE INDEX `user_link_unique` ON `user` (`link`);--> statement-breakpoint
CREATE TABLE `username` (
	`name` text PRIMARY KEY NOT NULL,
	`name_hash` text NOT NULL,
	`owner` text NOT NULL,
	`reserved_until` integer,
	FOREIGN KEY (`owner`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `username_owner` ON `username` (`owner`);--> statement-breakpoint
CREATE TABLE `username_hold` (
	`name_hash` text PRIMARY KEY NOT NULL,
	`former_owner` text,
	`until` integer NOT NULL,
	FOREIGN KEY (`former_owner`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE set null
);
--> statement-breakpoint
CREATE INDEX `username_hold_former_owner` ON `username_hold` (`former_owner`);--> statement-breakpoint
ALTER TABLE `push_delivery` ADD `second` text GENERATED ALWAYS AS (substr(conversation, 28)) VIRTUAL;--> statement-breakpoint
CREATE INDEX `push_delivery_user` ON `push_delivery` (`user`);--> statement-breakpoint
CREATE INDEX `push_delivery_conversation` ON `push_delivery` (`conversation`);--> statement-breakpoint
CREATE INDEX `push_delivery_second` ON `push_delivery` (`second`);