CREATE TABLE `device` (
	`id` text PRIMARY KEY NOT NULL,
	`user` text NOT NULL,
	`name` text NOT NULL,
	`created_at` integer NOT NULL,
	FOREIGN KEY (`user`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `device_user` ON `device` (`user`);--> statement-breakpoint
CREATE TABLE `user` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`created_at` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `user_name_unique` ON `user` (`name`);--> statement-breakpoint
CREATE TABLE `push_delivery` (
	`user` text NOT NULL,
	`device` text NOT NULL,
	`conversation` text NOT NULL,
	`at` integer NOT NULL,
	`request_id` text NOT NULL,
	PRIMARY KEY(`device`, `conversation`)
);
