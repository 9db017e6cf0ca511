DROP TABLE `device`;--> statement-breakpoint
DROP TABLE `user`;